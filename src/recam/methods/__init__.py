"""Methods that produce class activation maps: CAM and ReCAM."""
