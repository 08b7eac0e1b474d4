#!/usr/bin/env python3
"""RNNoise's network: 22 gains of bands and a probability of speech, from 42 features of 10 ms.

The GRUs are PyTorch's. The published ones have ReLU where these have tanh.

    rnnoise.py OUT.safetensors    # weights, input, output and the definition as a chain
    rnnoise.py --time             # PyTorch's time per frame
"""

import torch
from portable import Network, main, operation, uniform
from torch import nn

FEATURES, BANDS = 42, 22


class RNNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_dense = nn.Linear(FEATURES, 24)
        self.vad_gru = nn.GRU(24, 24)
        self.vad_output = nn.Linear(24, 1)
        self.noise_gru = nn.GRU(24 + 24 + FEATURES, 48)
        self.denoise_gru = nn.GRU(24 + 48 + FEATURES, 96)
        self.denoise_output = nn.Linear(96, BANDS)

    def forward(self, features: torch.Tensor, state=None):
        """Gains and the probability of speech (T, B, 23), from features (T, B, 42)."""
        vad_state, noise_state, denoise_state = state or (None, None, None)
        dense = self.input_dense(features).tanh()
        vad, vad_state = self.vad_gru(dense, vad_state)
        speech = self.vad_output(vad).sigmoid()
        noise, noise_state = self.noise_gru(torch.cat([dense, vad, features], -1), noise_state)
        joined = torch.cat([vad, noise, features], -1)
        denoise, denoise_state = self.denoise_gru(joined, denoise_state)
        gains = self.denoise_output(denoise).sigmoid()
        return torch.cat([gains, speech], -1), (vad_state, noise_state, denoise_state)


DEFINITION = [
    operation("name", name="features"),
    operation("linear", prefix="input_dense."),
    operation("tanh"),
    operation("name", name="dense"),
    operation("rnn", prefix="vad_gru."),
    operation("name", name="vad"),
    operation("linear", prefix="vad_output."),
    operation("sigmoid"),
    operation("name", name="speech"),
    operation("concat", names=["dense", "vad", "features"]),
    operation("rnn", prefix="noise_gru."),
    operation("name", name="noise"),
    operation("concat", names=["vad", "noise", "features"]),
    operation("rnn", prefix="denoise_gru."),
    operation("linear", prefix="denoise_output."),
    operation("sigmoid"),
    operation("name", name="gains"),
    operation("concat", names=["gains", "speech"]),
]


def network() -> Network:
    inputs = 2 * uniform("rnnoise", (30, 2, FEATURES))
    return Network("rnnoise", RNNoise(), DEFINITION, inputs)


if __name__ == "__main__":
    main(network())
