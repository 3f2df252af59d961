"""The studio: a local page that shows runs as they train, reads them token by token, and lays them side by side."""
