"""What is trained for its maps: CAM and ReCAM."""
