"""The models behind one Protocol. Heavy libraries are imported on first use alone."""
