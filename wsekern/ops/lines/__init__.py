"""Operations along rows or columns: reductions, broadcasts, shifts, rings."""
