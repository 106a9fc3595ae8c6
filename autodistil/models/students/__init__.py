"""Model classes of students that stock `transformers` cannot hold; each file travels with them."""
