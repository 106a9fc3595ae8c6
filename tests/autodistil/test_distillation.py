def test_bundles(stock_superlm, free_superlm):
    assert stock_superlm.candidates
