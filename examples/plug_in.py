"""Re-activate a classifier trained elsewhere: `python examples/plug_in.py` writes plug_in.png."""

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18

from recam.core.labels import top_class
from recam.methods.cam import Cam, peak_normalised
from recam.methods.recam import ReCam
from recam.pipeline.inference import averaged_maps
from recam.report.grids import shown_maps

torch.manual_seed(0)
yours = resnet18(num_classes=3)  # yours is trained; this one learns with its maps
features = torch.nn.Sequential(*list(yours.children())[:-2])  # all before avgpool and fc
cam = Cam(features, channels=512, num_classes=3)
cam.classifier = torch.nn.Parameter(yours.fc.weight)  # fc's bias is left out: maps have none
model = ReCam(cam, weight=1.0)
# Your images, prepared as your classifier expects them, and their labels.
images = torch.rand(24, 3, 96, 96) / 2
present = torch.rand(24, 3) < 0.5
for image, kind in present.nonzero().tolist():  # a red, a green and a blue square
    top, left = torch.randint(64, (2,)).tolist()
    images[image, kind, top : top + 32, left : left + 32] = 1

optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for _ in range(24):
    optimizer.zero_grad()
    torch.stack(list(model.loss(images, present).values())).sum().backward()
    optimizer.step()
model.eval()
cams = averaged_maps(lambda x: model.maps(x, combine="product"), images, scales=(2.0,))
scores = peak_normalised(cams * present[:, :, None, None]).detach().numpy()
strip = (255 * torch.cat(list(images[:8]), dim=2)).byte().permute(1, 2, 0).numpy()
ids, best = top_class(np.concatenate(scores[:8], axis=2), np.arange(3))
colours = 255 * np.eye(256, 3, -1, np.uint8)  # those of the squares
Image.fromarray(np.vstack([strip, shown_maps(strip, ids, best, colours)])).save("plug_in.png")
print(f"SCE loss: {model.loss(images, present)['sce']:.2f}; a guess has ln 3 = 1.10")
