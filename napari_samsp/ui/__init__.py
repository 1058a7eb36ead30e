"""The dock widget. It holds no model logic and imports torch only in its worker."""
