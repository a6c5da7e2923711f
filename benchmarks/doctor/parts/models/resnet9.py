"""ResNet-9: four pooled stages and two residual pairs."""

import torch
from torch import nn


def conv_block(in_channels, out_channels, pool=False):
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class ResNet9(nn.Module):
    """ResNet-9."""

    def __init__(self, num_classes=10, width=64):
        super().__init__()
        self.stem = conv_block(3, width)
        self.conv1 = conv_block(width, 2 * width, pool=True)
        self.res1 = nn.Sequential(conv_block(2 * width, 2 * width), conv_block(2 * width, 2 * width))
        self.conv2 = conv_block(2 * width, 4 * width, pool=True)
        self.conv3 = conv_block(4 * width, 8 * width, pool=True)
        self.res2 = nn.Sequential(conv_block(8 * width, 8 * width), conv_block(8 * width, 8 * width))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(8 * width, num_classes)

    def forward(self, x):
        x = self.conv1(self.stem(x))
        x = self.res1(x) + x
        x = self.conv3(self.conv2(x))
        x = self.res2(x) + x
        x = torch.flatten(self.pool(x), 1)
        return self.head(x)
