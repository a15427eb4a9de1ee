"""The bundled sample model's trainer."""
