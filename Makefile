# The same commands in the README, on a laptop and in continuous integration.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run lab test oracle check bench bench-quality fuzz samples clean

run: $(VENV)/installed
	$(BIN)/python -m streamlit run app.py

lab: $(VENV)/installed-dev
	$(BIN)/python -m jupyterlab notebooks

test: $(VENV)/installed-dev
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest -n 2 --dist loadfile

# ONNX's own tests of its operators, each at every opset in which it is valid; takes some minutes.
oracle: $(VENV)/installed-dev
	EVERY_OPSET=1 $(BIN)/python -m pytest tests/test_node_cases.py -s

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.compensation
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.load --slider
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.panel
	$(BIN)/python -m benchmarks.forecast

# Installs the tools that the explorer is compared with; takes half an hour.
bench-quality: $(VENV)/installed-benchmarks
	$(BIN)/python -m benchmarks.quality

# 10,000 mutants of a good file of each format; takes about an hour.
fuzz: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.fuzz

# Trains the sample models anew; needs the data sets that sample_models/README.md names.
samples: $(VENV)/installed
	$(BIN)/python -m sample_models.build

clean:
	rm -rf $(VENV)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

$(VENV)/installed-benchmarks: benchmarks/requirements.txt $(VENV)/installed-dev
	$(BIN)/pip install --quiet -r benchmarks/requirements.txt
	touch $@
