"""What the product promises, as verbs."""
