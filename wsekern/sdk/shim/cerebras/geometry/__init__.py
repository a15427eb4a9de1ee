"""Places and rectangles."""
