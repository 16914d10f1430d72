"""One outside part per file: stores, queue, bus, HTTP."""
