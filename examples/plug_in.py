"""Re-activate a classifier trained elsewhere: `python examples/plug_in.py` writes plug_in.png."""

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18

from recam.core import labels
from recam.methods.cam import Cam, peak_normalised
from recam.methods.recam import ReCam
from recam.pipeline import inference
from recam.report import grids

torch.manual_seed(0)
yours = resnet18(num_classes=3)  # yours is trained; this one learns with its maps
features = torch.nn.Sequential(*list(yours.children())[:-2])  # all before avgpool and fc
cam = Cam(features, channels=yours.fc.in_features, num_classes=yours.fc.out_features)
cam.classifier = torch.nn.Parameter(yours.fc.weight)  # fc's bias is left out: maps have none
model = ReCam(cam, weight=1.0)

# Your images, prepared as your classifier expects them, and for each which classes it shows.
images = torch.rand(24, 3, 96, 96) / 2
present = torch.rand(24, 3) < 0.5
for image, kind in present.nonzero().tolist():  # a red, a green and a blue square
    top, left = torch.randint(64, (2,)).tolist()
    images[image, kind, top : top + 32, left : left + 32] = 1

optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for _ in range(24):
    losses = model.loss(images, present)
    optimizer.zero_grad()
    (losses["bce"] + losses["sce"]).backward()
    optimizer.step()
model.eval()
cams = inference.averaged_maps(lambda x: model.maps(x, combine="product"), images, scales=(2.0,))
scores = peak_normalised(cams * present[:, :, None, None]).detach().numpy()
strip = (255 * torch.cat(list(images[:8]), dim=2)).byte().permute(1, 2, 0).numpy()
ids, best = labels.top_class(np.concatenate(scores[:8], axis=2), np.arange(3))
shown = grids.shown_maps(strip, ids, best, 255 * np.eye(256, 3, -1, np.uint8))  # as squares are
Image.fromarray(np.vstack([strip, shown])).save("plug_in.png")
print(f"SCE loss: {model.loss(images, present)['sce']:.2f}; a guess has ln 3 = 1.10")
