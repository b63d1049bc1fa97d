import torch

from pcgen.latent.field import FAR, Field


def code(means, looks):
    return torch.cat([4 * means.flatten(), looks.flatten(), torch.zeros(3)])[None]


def small(seed=0):
    torch.manual_seed(seed)
    return Field(16, 2, position_scale=4, width=16, layers=1, nearest=3)


def test_the_distance_is_continuous_where_the_nearest_patches_change():
    draw = torch.Generator().manual_seed(0)
    z = code(torch.rand(16, 3, generator=draw) * 2 - 1, torch.randn(16, 2, generator=draw))
    line = torch.linspace(-1, 1, 20_001)[:, None] * torch.tensor([[1.0, 0.7, -0.4]])
    field = small()
    with torch.no_grad():
        field.head.weight.mul_(30)
        found = field(z, line[None])[0]
    change = found.max() - found.min()
    assert change > 0.1 * FAR
    assert (found[1:] - found[:-1]).abs().max() < 0.01 * change


def test_the_order_of_patches_does_not_matter():
    draw = torch.Generator().manual_seed(1)
    means, looks = torch.rand(16, 3, generator=draw), torch.randn(16, 2, generator=draw)
    turned = torch.randperm(16, generator=draw)
    places = torch.rand(1, 50, 3, generator=draw)
    field = small()
    torch.testing.assert_close(
        field(code(means, looks), places), field(code(means[turned], looks[turned]), places)
    )


def test_it_learns_which_side_of_a_wall_is_inside():
    draw = torch.Generator().manual_seed(2)
    field = small()
    optimiser = torch.optim.Adam(field.parameters(), 1e-2)
    for _ in range(150):
        height = torch.rand(1, generator=draw) - 0.5
        means = torch.rand(16, 3, generator=draw) * 2 - 1
        means[:, 1] = height
        places = torch.rand(1, 128, 3, generator=draw) * 2 - 1
        distance = places[..., 1] - height
        loss = field.loss(code(means, torch.zeros(16, 2)), places, distance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = field(code(means, torch.zeros(16, 2)), places)
    off = distance.abs() > 0.05
    assert ((found < 0) == (distance < 0))[off].float().mean() > 0.9
