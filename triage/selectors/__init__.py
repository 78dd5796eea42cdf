"""Every read that a page makes."""
