"""Data sets of small images: reading, checking, downloading, and turning them into augmented batches."""

from lowres.data.augment import Augmentation
from lowres.data.batches import Batches
from lowres.data.download import fetch
from lowres.data.images import Dataset, Images, content_checksum, mean_std, stratified_split
from lowres.data.inspection import Info, Verification, info, verify
from lowres.data.load import load_dataset
from lowres.data.sheet import contact_sheet, denormalise

__all__ = [
    "Augmentation",
    "Batches",
    "Dataset",
    "Images",
    "Info",
    "Verification",
    "contact_sheet",
    "content_checksum",
    "denormalise",
    "fetch",
    "info",
    "load_dataset",
    "mean_std",
    "stratified_split",
    "verify",
]
