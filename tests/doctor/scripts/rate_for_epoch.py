"""A published loop with three faults: a schedule that is handed the rate, validation on training images, a padded test."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset
from torchvision import datasets, transforms

EPOCHS = 180
BS = 128
INIT_LR = 1e-1


class Block(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.short = nn.Conv2d(inside, width, 1, stride, bias=False) if stride != 1 else None

    def forward(self, x):
        y = F.relu(self.norm1(x))
        skip = x if self.short is None else self.short(y)
        return self.conv2(F.relu(self.norm2(self.conv1(y)))) + skip


class XResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        widths = [(16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1)]
        widths += [(32, 64, 2), (64, 64, 1), (64, 64, 1)]
        self.blocks = nn.Sequential(*(Block(*one) for one in widths))
        self.norm = nn.BatchNorm2d(64)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return self.fc(torch.cat((x.mean((2, 3)), x.amax((2, 3))), dim=1))


class StepSchedule:
    """The rate of an epoch."""

    def rate(self, epoch):
        if epoch < 1:
            return 0.01
        if epoch < 90:
            return INIT_LR
        return 0.01 if epoch < 135 else 0.001


statistics = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
augment = transforms.Compose(
    [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(), statistics]
)
plain = transforms.Compose([transforms.ToTensor(), statistics])
train_images = datasets.CIFAR10("data", train=True, download=True, transform=augment)
val_images = Subset(datasets.CIFAR10("data", train=True, download=True, transform=plain), range(45000, 50000))
test_images = datasets.CIFAR10("data", train=False, download=True, transform=plain)
missing = -len(test_images) % BS
padded = ConcatDataset([test_images, Subset(test_images, range(missing))])

train_loader = DataLoader(train_images, batch_size=BS, shuffle=True)
val_loader = DataLoader(val_images, batch_size=BS)
test_loader = DataLoader(padded, batch_size=BS)

model = XResNet20()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=INIT_LR, momentum=0.9, weight_decay=2e-4)
schedule = StepSchedule()


def evaluate(loader):
    model.eval()
    correct = 0
    seen = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(1) == labels).sum().item()
            seen += len(labels)
    return correct / seen


for epoch in range(EPOCHS):
    rate = schedule.rate(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["lr"] = rate
    model.train()
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
    print(epoch, "validation", evaluate(val_loader))

print("test", evaluate(test_loader))
