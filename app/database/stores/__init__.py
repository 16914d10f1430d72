"""One file per noun, with intention-named queries scoped to a workspace."""
