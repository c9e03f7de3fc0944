"""Light segmenters on the final features of a backbone, made for frozen ones.

Axes: B images, C channels, h w feature grid, T = h w tokens, N = K+1 mask ids.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from recam.models.segmenters import Segmenter

# The decoder of WeCLIP (Zhang et al., CVPR 2024): features of 256 channels, three layers.
WIDTH = 256  # channels of a token
LAYERS = 3
HEADS = 8  # ours
GROWTH = 4  # channels in a layer's perceptron, in widths: the usual one of transformers


class Linear(Segmenter):
    """One linear layer with bias on each cell of the backbone's features."""

    def __init__(self, backbone: nn.Module, *, channels: int, num_ids: int):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Conv2d(channels, num_ids, kernel_size=1)

    def logits(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes on the backbone's grid."""
        return self.classifier(self.backbone(images))


class TokenDecoder(Segmenter):
    """A small transformer on the cells of the backbone's features: every cell sees all others.

    Features are normalised over channels and projected to 256; three pre-norm layers and a linear
    layer follow. Positions come from a depthwise 3x3 convolution with zero padding, as in CPVT
    (Chu et al., ICLR 2023), so that grids of any size work.
    """

    def __init__(self, backbone: nn.Module, *, channels: int, num_ids: int):
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, WIDTH)
        self.position = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1, groups=WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.last_norm = nn.LayerNorm(WIDTH)
        self.classifier = nn.Linear(WIDTH, num_ids)

    def logits(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes on the backbone's grid."""
        features = self.backbone(images)
        grid = features.shape[2:]
        tokens = self.project(self.norm(features.flatten(2).mT))
        tokens = tokens + self.position(tokens.mT.unflatten(2, grid)).flatten(2).mT
        for layer in self.layers:
            tokens = layer(tokens)
        return self.classifier(self.last_norm(tokens)).mT.unflatten(2, grid)


class _Layer(nn.Module):
    """Self-attention and a perceptron, each after a norm and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.ask = nn.Linear(WIDTH, 3 * WIDTH)  # queries, keys and values
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, GROWTH * WIDTH),
            nn.GELU(),
            nn.Linear(GROWTH * WIDTH, WIDTH),
        )

    def forward(self, tokens: Float[Tensor, "B T c"]) -> Float[Tensor, "B T c"]:
        heads = self.ask(self.norm(tokens)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads  # each (B, heads, T, c / heads)
        seen = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.mix(seen.transpose(1, 2).flatten(2))
        return tokens + self.perceptron(tokens)
