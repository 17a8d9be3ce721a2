"""Matrix products: every library gives the same numbers, in the chosen precision."""

from collections.abc import Iterator

import pytest
import torch

from trainer.model.matrix_products import Product, prefer_onednn, small_products


@pytest.fixture(autouse=True)
def restored_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 2e-6), (torch.bfloat16, 2e-2)]
)
def test_a_product_is_exact_to_its_precision(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    weight, x, other = (torch.randn(shape, dtype=torch.float64) for shape in [(40, 70), (5, 70), (5, 40)])
    product = Product(weight, 5, dtype)
    exact = x @ weight.t()
    wide = torch.promote_types(dtype, torch.float32)
    got, added = product(x.to(wide)), product.plus(x.to(wide), other.to(wide))
    assert got.dtype == dtype
    assert added.dtype == wide
    assert (got.double() - exact).abs().max() <= tolerance * exact.abs().max()
    assert (added.double() - exact - other).abs().max() <= tolerance * exact.abs().max()


def test_strided_rows_are_accepted() -> None:
    torch.manual_seed(0)
    weight, wide = torch.randn(8, 6), torch.randn(3, 10)
    assert torch.allclose(Product(weight, 3, torch.float32)(wide[:, 2:8]), wide[:, 2:8] @ weight.t(), atol=1e-5)
    transposed = Product(weight.t(), 3, torch.float32)(wide[:, :8])
    assert torch.allclose(transposed, wide[:, :8] @ weight, atol=1e-5)


def test_float32_products_stay_exact_with_onednn() -> None:
    prefer_onednn()
    a, b = torch.randn(64, 512), torch.randn(512, 128)
    exact = a.double() @ b.double()
    assert ((a @ b).double() - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_a_processor_that_rounds_keeps_its_old_library(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", settings.append)
    monkeypatch.setattr("trainer.model.matrix_products.EXACT", 0.0)
    before = torch.get_float32_matmul_precision()
    assert not prefer_onednn()
    assert settings == ["medium", before]


def test_small_products_end_with_their_block() -> None:
    torch.set_float32_matmul_precision("medium")
    with small_products():
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == "medium"
