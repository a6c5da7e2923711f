"""VGG with batch norm and four pools, for 32 pixels."""

import torch
from torch import nn


class VGG(nn.Module):
    """Ten convolutions, He initialisation."""

    config = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M")

    def __init__(self, num_classes=10):
        super().__init__()
        layers = []
        channels = 3
        for width in self.config:
            if width == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(512 * 2 * 2, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.features(x)
        x = self.dropout(torch.flatten(x, 1))
        return self.head(x)
