"""Re-activate a classifier trained elsewhere: `python examples/plug_in.py` writes plug_in.png."""

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models import resnet18

import recam

torch.manual_seed(0)
yours = resnet18(num_classes=3)
# Your images, prepared as your classifier expects them, and their labels.
images = torch.rand(24, 3, 96, 96) / 2
present = torch.rand(24, 3) < 0.5
for image, kind in present.nonzero().tolist():  # a red, a green and a blue square
    top, left = torch.randint(64, (2,)).tolist()
    images[image, kind, top : top + 32, left : left + 32] = 1
# Yours is trained; this one learns now.
optimizer = torch.optim.SGD(yours.parameters(), lr=0.05, momentum=0.9)
for _ in range(24):
    optimizer.zero_grad()
    binary_cross_entropy_with_logits(yours(images), present.float()).backward()
    optimizer.step()

result = recam.reactivate(yours, None, [(images, present)], epochs=12, warmup_steps=10)

shown, of = images[:8], present[:8]
maps = [result.maps(shown, of, after=after, scales=(2.0,)) for after in (False, True)]
rows = [np.concatenate(row, axis=2) for row in (shown.numpy(), *maps)]  # a map is a colour
Image.fromarray(np.uint8(255 * np.hstack(rows).transpose(1, 2, 0))).save("plug_in.png")
print(f"SCE loss: {result.losses[-1]['sce']:.2f}; a guess has ln 3 = 1.10")
