"""Operations over both axes of the grid."""
