"""Operations of each PE on its own: nothing is sent."""
