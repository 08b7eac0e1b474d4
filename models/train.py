#!/usr/bin/env python3
"""Train `shakespeare.safetensors`, the character model that ships with this program.

    models/train.py TEXT [--out FILE]

TEXT is the collection of Shakespeare's plays known as tinyshakespeare (1,115,394 characters, 65 different ones, in the
public domain). The first nine tenths train the model, the last tenth validates it. The network is that of PyTorch's
word-language-model example, over characters: Embedding, dropout, a two-layer LSTM with dropout between its layers,
dropout, Linear. Weights are stored as float16, under the names of the example's state dict; the vocabulary and the
losses reached are in the file's metadata. Twenty to thirty minutes on one core with a good BLAS; the packages torch,
numpy and safetensors are needed.

The committed file was made with Debian's python3-torch 1.13.1 and reached a validation loss of 1.4769 nats per character
(perplexity 4.379) in 10 epochs, in 2,683,154 bytes. Other versions round otherwise and end near that.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

NINP, NHID, NLAYERS, DROPOUT = 64, 320, 2, 0.3
STREAMS, STEPS, EPOCHS, LEARNING_RATE, CLIP = 64, 64, 10, 4e-3, 1.0


class RNNModel(nn.Module):
    """Embedding, dropout, LSTM, dropout, Linear: the parameters are called as in PyTorch's example."""

    def __init__(self, ntoken: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(DROPOUT)
        self.encoder = nn.Embedding(ntoken, NINP)
        self.rnn = nn.LSTM(NINP, NHID, NLAYERS, dropout=DROPOUT)
        self.decoder = nn.Linear(NHID, ntoken)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = self.rnn(self.drop(self.encoder(tokens)), state)
        return self.decoder(self.drop(output)), state


def streams(tokens: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Cuts a text into `count` equally long streams: inputs and targets, each (steps, count)."""
    length = (len(tokens) - 1) // count
    inputs = tokens[: length * count].view(count, length).t()
    targets = tokens[1 : length * count + 1].view(count, length).t()
    return inputs.contiguous(), targets.contiguous()


@torch.no_grad()
def loss_over(model: RNNModel, tokens: Tensor) -> float:
    """Mean negative log-likelihood, in nats per character, of a text read as `STREAMS` streams."""
    model.eval()
    inputs, targets = streams(tokens, STREAMS)
    state, total = None, 0.0
    for x, y in zip(inputs.split(256), targets.split(256), strict=True):
        logits, state = model(x, state)
        total += nn.functional.cross_entropy(logits.flatten(0, 1).double(), y.flatten(), reduction="sum").item()
    return total / targets.numel()


def train(model: RNNModel, training: Tensor, validation: Tensor) -> None:
    """Adam, truncated back-propagation through time, the learning rate falling along a cosine."""
    inputs, targets = streams(training, STREAMS)
    chunks = list(zip(inputs.split(STEPS), targets.split(STEPS), strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(chunks), LEARNING_RATE / 100)
    for epoch in range(EPOCHS):
        model.train()
        start, state, total = time.time(), None, 0.0
        for x, y in chunks:
            optimizer.zero_grad()
            logits, state = model(x, state)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            state = tuple(part.detach() for part in state)
            total += loss.item() * y.numel()
        print(
            f"epoch {epoch + 1}: training {total / targets.numel():.4f}, validation {loss_over(model, validation):.4f} "
            f"nats per character, {time.time() - start:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the character model that ships with wgpu-rnn.")
    parser.add_argument("text", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "shakespeare.safetensors")
    arguments = parser.parse_args()
    torch.manual_seed(0)

    text = arguments.text.read_text(encoding="utf-8")
    vocabulary = sorted(set(text))
    index = {character: i for i, character in enumerate(vocabulary)}
    tokens = torch.tensor([index[character] for character in text])
    cut = len(tokens) * 9 // 10
    training, validation = tokens[:cut], tokens[cut:]

    model = RNNModel(len(vocabulary))
    train(model, training, validation)

    # The rounded model is what ships, and so it is the one that is judged.
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    loss = loss_over(model, validation)
    metadata = {
        "rnn_type": "LSTM",
        "vocabulary": json.dumps(vocabulary, ensure_ascii=False),
        "vocabulary_of": "characters",
        "validation_loss": f"{loss:.6f}",
    }
    save_file(weights, arguments.out, metadata)
    size = arguments.out.stat().st_size
    print(f"validation of the float16 model: {loss:.6f} nats per character, perplexity {math.exp(loss):.4f}; {size} bytes")


if __name__ == "__main__":
    main()
