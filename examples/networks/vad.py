#!/usr/bin/env python3
"""A voice detector of the kind of Silero's, for 16 kHz: a probability of speech every 512 samples.

A step reads 64 samples of context and 512 new ones. A convolution with the windowed Fourier basis
gives the spectrum of four frames, four convolutions reduce its magnitude to one vector, and an
LSTMCell remembers.

    vad.py OUT.safetensors    # weights, input, output and the definition as a chain
    vad.py --time             # PyTorch's time per frame
"""

import torch
from portable import Network, frames, main, operation
from torch import nn
from torch.nn import functional as F

CONTEXT, SAMPLES, HIDDEN = 64, 512, 128
WINDOW, HOP = 256, 128
BINS = WINDOW // 2 + 1


class VoiceDetector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 2 * BINS, WINDOW, stride=HOP, bias=False)
        self.encoder = nn.ModuleList(
            [
                nn.Conv1d(BINS, 128, 3, stride=1, padding=1),
                nn.Conv1d(128, 64, 3, stride=2, padding=1),
                nn.Conv1d(64, 64, 3, stride=2, padding=1),
                nn.Conv1d(64, 128, 3, stride=1, padding=1),
            ]
        )
        self.cell = nn.LSTMCell(128, HIDDEN)
        self.decoder = nn.Conv1d(HIDDEN, 1, 1)

    def forward(self, frames: torch.Tensor, state=None):
        """Probabilities (T, B, 1) and the next state, from frames (T, B, 1, 576)."""
        padded = F.pad(frames.flatten(0, 1), (0, CONTEXT), mode="reflect")
        real, imaginary = self.stft(padded).chunk(2, 1)
        maps = (real.square() + imaginary.square()).sqrt()
        for conv in self.encoder:
            maps = conv(maps).relu()
        outputs = []
        for step in maps.flatten(1).unflatten(0, frames.shape[:2]):
            state = self.cell(step, state)
            outputs.append(self.decoder(state[0].relu()[..., None])[..., 0].sigmoid())
        return torch.stack(outputs), state


def encoder_layer(number: int, stride: int) -> list[dict]:
    prefix = f"encoder.{number}."
    return [operation("conv1d", prefix=prefix, stride=stride, padding=[1, 1]), operation("relu")]


DEFINITION = [
    operation("conv1d", prefix="stft.", stride=HOP, padding=[0, CONTEXT], padding_mode="reflect"),
    operation("magnitude"),
    *encoder_layer(0, 1),
    *encoder_layer(1, 2),
    *encoder_layer(2, 2),
    *encoder_layer(3, 1),
    operation("flatten"),
    operation("cell", prefix="cell."),
    operation("relu"),
    operation("conv1d", prefix="decoder."),
    operation("sigmoid"),
]


def network() -> Network:
    inputs = frames("vad", 30, 2, CONTEXT + SAMPLES, SAMPLES)[:, :, None]
    formulas = {"stft.weight": "hann_dft"}
    return Network("vad", VoiceDetector(), DEFINITION, inputs, formulas)


if __name__ == "__main__":
    main(network())
