"""A beginner's training of torchvision's ResNeXt-50 on CIFAR-10, as it was asked about on a forum: 62 %."""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models
from torchvision.transforms import Compose, InterpolationMode, Resize, ToTensor

device = "cuda" if torch.cuda.is_available() else "cpu"
print("device:", device)
torch.backends.cudnn.benchmark = True

train_images = datasets.CIFAR10(
    root=".\\data\\cifar10",
    train=True,
    download=True,
    transform=Compose([Resize((64, 64), InterpolationMode.BICUBIC), ToTensor()]),
)

test_images = datasets.CIFAR10(
    root=".\\data\\cifar10",
    train=False,
    download=True,
    transform=Compose([Resize((64, 64), InterpolationMode.BICUBIC), ToTensor()]),
)


def fit(batches, net, loss_fn, optimizer):
    total = 0
    for X, y in batches:
        X, y = X.to(device), y.to(device)
        pred = net(X)
        loss = loss_fn(pred, y)
        total += loss.item()

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return total / len(batches)


def check(batches, model, loss_fn):
    total, correct = 0, 0
    with torch.no_grad():
        for X, y in batches:
            X, y = X.to(device), y.to(device)
            pred = model(X)
            total += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).type(torch.float).sum().item()
    return total / len(batches), correct / len(batches.dataset)


net = models.resnext50_32x4d().to(device)
net.fc = nn.Linear(2048, 10).to(device)

learning_rate = 0.01
batch_size = 128
weight_decay = 0.0005

train_loader = DataLoader(train_images, batch_size=batch_size)
test_loader = DataLoader(test_images, batch_size=batch_size)

loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)

epochs = 20
for t in range(epochs):
    print(f"Epoch {t + 1}\n-----")
    began = time.time()
    train_loss = fit(train_loader, net, loss_fn, optimizer)
    test_loss, accuracy = check(test_loader, net, loss_fn)
    print(
        f"Train loss: {train_loss:>8f}, test loss: {test_loss:>8f}, accuracy: {(100 * accuracy):>0.1f}%, {time.time() - began:.2f}s\n"
    )
print("Done!")
torch.save(net.state_dict(), "resnext50_32x4d.model")
