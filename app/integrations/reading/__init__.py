"""Reading of documents that come from anyone, in a process of its own; nothing else of the product is loaded there."""
