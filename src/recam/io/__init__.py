"""Files of this project: images and masks, score maps, checkpoints."""
