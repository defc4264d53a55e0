#!/usr/bin/python3
"""Trains the demo model: a bare nn.GRU that forecasts sunspots six months ahead.

    deploy/models/train_sunspots.py            (Debian: apt-get install python3-torch python3-numpy)

Reads data/sunspots.csv, trains on its first 80 %, and writes
repository/sunspots/1/model.safetensors. The network has no layer beside the GRU:
hidden unit 0 is the forecast, in units of SCALE, and the input's scale is folded
into weight_ih. So raw monthly numbers go in, and 300 * output[0] comes out.
"""
import csv
import pathlib

import numpy as np
import torch

from save_safetensors import save_safetensors

HERE = pathlib.Path(__file__).resolve().parent
HORIZON = 6
SCALE = 300.0
HIDDEN = 24
SEGMENT = 480
EPOCHS = 500


def main():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    with open(HERE / "data/sunspots.csv", newline="") as file:
        series = np.array([float(row["sunspots"]) for row in csv.DictReader(file)], np.float32)
    split = int(0.8 * len(series))
    x = torch.from_numpy(series / SCALE)[:, None]
    train_x, train_y = x[:split - HORIZON], x[HORIZON:split, 0]

    gru = torch.nn.GRU(1, HIDDEN)
    optimizer = torch.optim.Adam(gru.parameters(), lr=4e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    # Overlapping segments side by side; the first months only warm up the state.
    starts = torch.arange(0, len(train_x) - SEGMENT, 40)
    index = torch.arange(SEGMENT)[:, None] + starts[None, :]
    warm_up = 60
    for epoch in range(EPOCHS):
        output, _ = gru(train_x[index] * (1 + 0.02 * torch.randn(index.shape)[..., None]))
        loss = torch.nn.functional.mse_loss(output[warm_up:, :, 0], train_y[index][warm_up:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(gru.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if epoch % 50 == 49:
            print(f"epoch {epoch + 1}: training RMSE {SCALE * loss.item() ** 0.5:.2f}", flush=True)

    with torch.no_grad():
        gru.weight_ih_l0 /= SCALE
        forecast = SCALE * gru(torch.from_numpy(series)[:, None])[0][:, 0].numpy()
    truth = series[split + HORIZON:]
    rmse = float(np.sqrt(np.mean((forecast[split:-HORIZON] - truth) ** 2)))
    persistence = float(np.sqrt(np.mean((series[split:-HORIZON] - truth) ** 2)))
    print(f"last 20 %: RMSE {rmse:.2f}, persistence {persistence:.2f}, ratio {rmse / persistence:.3f}")
    save_safetensors(gru.state_dict(), HERE / "repository/sunspots/1/model.safetensors")


if __name__ == "__main__":
    main()
