#!/usr/bin/env python3
"""DTLN, the dual-signal transformation LSTM network: frames of 512 samples without their noise.

The first stage masks the spectrum of a frame, the second one masks learned features of the first
one's result. Frames overlap: a hop of 128 samples at 16 kHz; the caller adds the results.

    dtln.py OUT.safetensors    # weights, input, output and the definition as a chain
    dtln.py --time             # PyTorch's time per frame
"""

import torch
from portable import Network, frames, main, operation
from torch import nn

SAMPLES, HOP, HIDDEN, FEATURES = 512, 128, 128, 256
BINS = SAMPLES // 2 + 1


class DTLN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.analysis = nn.Linear(SAMPLES, 2 * BINS, bias=False)
        self.lstm1 = nn.LSTM(BINS, HIDDEN, num_layers=2)
        self.mask1 = nn.Linear(HIDDEN, BINS)
        self.synthesis = nn.Linear(2 * BINS, SAMPLES, bias=False)
        self.encoder = nn.Linear(SAMPLES, FEATURES, bias=False)
        self.norm = nn.LayerNorm(FEATURES, eps=1e-7)
        self.lstm2 = nn.LSTM(FEATURES, HIDDEN, num_layers=2)
        self.mask2 = nn.Linear(HIDDEN, FEATURES)
        self.decoder = nn.Linear(FEATURES, SAMPLES, bias=False)

    def forward(self, frames: torch.Tensor, state=None):
        """Frames (T, B, 512) without noise and the next state, from frames (T, B, 512)."""
        first_state, second_state = state or (None, None)
        spectrum = self.analysis(frames)
        real, imaginary = spectrum.chunk(2, -1)
        magnitude = (real.square() + imaginary.square()).sqrt()
        hidden, first_state = self.lstm1(magnitude, first_state)
        mask = self.mask1(hidden).sigmoid()
        cleaned = self.synthesis(torch.cat([mask, mask], -1) * spectrum)

        encoded = self.encoder(cleaned)
        hidden, second_state = self.lstm2(self.norm(encoded), second_state)
        mask = self.mask2(hidden).sigmoid()
        return self.decoder(mask * encoded), (first_state, second_state)


DEFINITION = [
    operation("linear", prefix="analysis."),
    operation("name", name="spectrum"),
    operation("magnitude"),
    operation("rnn", prefix="lstm1."),
    operation("linear", prefix="mask1."),
    operation("sigmoid"),
    operation("name", name="mask"),
    operation("concat", names=["mask", "mask"]),
    operation("mul", name="spectrum"),
    operation("linear", prefix="synthesis."),
    operation("linear", prefix="encoder."),
    operation("name", name="encoded"),
    operation("layer_norm", prefix="norm.", eps=1e-7),
    operation("rnn", prefix="lstm2."),
    operation("linear", prefix="mask2."),
    operation("sigmoid"),
    operation("mul", name="encoded"),
    operation("linear", prefix="decoder."),
]


def network() -> Network:
    inputs = frames("dtln", 20, 2, SAMPLES, HOP)
    formulas = {"analysis.weight": "dft", "synthesis.weight": "inverse_dft"}
    return Network("dtln", DTLN(), DEFINITION, inputs, formulas)


if __name__ == "__main__":
    main(network())
