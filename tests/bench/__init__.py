"""What runs cost: figures, printed and written to one JSON file by ``make bench``."""
