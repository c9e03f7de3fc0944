"""Files: atomic writes, images and masks, score maps, checkpoints, resumable folders."""
