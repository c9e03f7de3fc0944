"""Section download: the data set."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import MADE, REAL
from recam.steps.sections.shared import PlacePath, Section, name_from

OF_MADE = ("random_seed", "train_images", "val_images", "image_size", "cooccurrence")
OF_REAL = ("source", "longest_side", "coco_masks", "saliency")


class Download(Section):
    """A made data set needs all its numbers; a real one uses none of them."""

    dataset: Annotated[
        str,
        *name_from((*MADE, *REAL)),
        Field(
            description="shapes (drawn), stamps (photographed objects), street (photographs of "
            "garments), voc12, coco14, or folder (your own images)"
        ),
    ]
    source: Annotated[
        PlacePath,
        Field(
            description="path of the originals, or auto (found or downloaded); shapes needs none"
        ),
    ]
    saliency: Annotated[
        PlacePath | None,
        Field(
            description="path of a folder of saliency maps: an 8-bit grey `<id>.png` of each "
            "training image, of its size; left out, there are none"
        ),
    ] = None
    longest_side: Annotated[
        int | None,
        Field(
            ge=32,
            description="folder and street: larger images are copied and downscaled to this many "
            "pixels; left out, images keep their size",
        ),
    ] = None
    coco_masks: Annotated[
        Literal["by_area", "published"] | None,
        Field(
            description="coco14: masks by_area (small objects on top, crowds ignored) or published "
            "(in the order of the annotations, crowds too, nothing ignored); left out, by_area"
        ),
    ] = None
    random_seed: Annotated[
        int | None, Field(ge=0, description="random seed of a made data set")
    ] = None
    train_images: Annotated[int | None, Field(ge=1, description="images of a made train split")] = (
        None
    )
    val_images: Annotated[int | None, Field(ge=1, description="images of a made val split")] = None
    image_size: Annotated[
        int | None, Field(ge=32, description="side of a made image, in pixels")
    ] = None
    cooccurrence: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="probability, from 0 to 1, that a class of a made data set brings its "
            "partner class into the image",
        ),
    ] = None

    @model_validator(mode="after")
    def _made_is_complete(self) -> "Download":
        missing = [name for name in OF_MADE if getattr(self, name) is None]
        if self.dataset in MADE and missing:
            meaning = type(self).model_fields[missing[0]].description
            words = f"{missing[0]} is missing; {self.dataset} needs it: {meaning}"
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self
