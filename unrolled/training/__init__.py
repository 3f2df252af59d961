"""One run: recipe -> loop -> run folder, with budget, checkpoints and exact resume."""
