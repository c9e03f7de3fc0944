"""Class re-activation maps (ReCAM, CVPR 2022): pixel masks from image-level labels alone."""
