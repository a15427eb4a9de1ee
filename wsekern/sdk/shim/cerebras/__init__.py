"""Names of the vendor's SDK, for scripts that import them: on the path of ``cs_python`` alone."""
