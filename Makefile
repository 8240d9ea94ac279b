# Targets call the command lines ecg-hough and ecg-lab (the laboratory in experiments/); every variable can be
# given: make predict IN=scans OUT=signals. Measurements replace the published figures in experiments/ where they
# have all of their pages and methods, and go to output/ where not.
PYTHON ?= python3
VENV ?= .venv
IN ?= samples
OUT ?= output
CONFIG ?= leads
FOLD ?= 0
DATASET ?= Dataset500_Signals
TRAINER ?= $(if $(filter krones2024,$(CONFIG)),Krones2024Trainer,EcgHoughTrainer)
TRUTH ?= samples/truth
SCORES ?= $(OUT)/scores
PAGES ?= pages
DATA ?= ../shared/data/ecg_image_kit ../shared/data/ludb
STEPS ?= 20000
NAME ?= leads
WEIGHTS ?= output/weights
RUN ?= runs/$(DATASET)/$(TRAINER)__$(CONFIG)Plans__2d/fold_$(FOLD)
LEADS_RUN ?= runs/$(DATASET)/EcgHoughTrainer__leadsPlans__2d/fold_all
WORDS_RUN ?= runs/Dataset504_Words/EcgHoughTrainer__wordsPlans__2d/fold_all
TRACES_RUN ?= runs/traces
METHOD ?= ours
TORCH := torch==2.13.0

ECG := $(VENV)/bin/ecg-hough
LAB := $(VENV)/bin/ecg-lab
PYTEST := $(VENV)/bin/pytest -n 2
PIP := $(VENV)/bin/pip install -q --no-compile -c constraints.txt
READY := $(VENV)/.ready-predict
READY_TRAIN := $(VENV)/.ready-train
READY_LAB := $(VENV)/.ready-lab
READY_RELEASE := $(VENV)/.ready-release
# Options that are passed only where they are given; the command line has the defaults.
SHARED = $(if $(SEED),--seed $(SEED)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(N),-n $(N)) $(if $(RECORDS),--records $(RECORDS))
PREPARE = $(if $(SOURCE),--source $(SOURCE)) $(if $(FOLDER),--folder $(FOLDER)) $(if $(GENERATED),--generated $(GENERATED)) $(if $(CANVAS),--canvas $(CANVAS)) $(if $(PLANES),--planes $(PLANES)) $(if $(SPLIT),--split $(SPLIT))
TRAIN = $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(MINUTES),--max-minutes $(MINUTES)) $(if $(DEVICE),--device $(DEVICE)) $(if $(FRESH),--fresh)
ALLOW = $(if $(ALLOW_TRAINED),--allow-trained)
PREDICT = $(if $(FORMAT),--format $(FORMAT)) $(if $(FS),--fs $(FS)) $(if $(SPEED),--speed $(SPEED)) $(if $(GAIN),--gain $(GAIN)) $(if $(READOUT),--readout $(READOUT))
ABLATION_PAGES = $(foreach data,$(filter-out $(lastword $(DATA)),$(DATA)),-n 2) -n 6
AS_WORKERS = $(if $(WORKERS),--workers $(WORKERS))

.DEFAULT_GOAL := help
.PHONY: help predict test test-fast heavy-tests test-all test-lowest lint docs release sbom render prepare-data train train-traces export evaluate benchmark compare ablations robustness fidelity training-logs notebooks paper clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e . && touch $@

$(READY_LAB): pyproject.toml experiments/pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e . -e 'experiments[notebooks]' && touch $@ $(READY)

$(READY_TRAIN): pyproject.toml experiments/pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) $(TORCH)
	$(PIP) -e '.[train,dev,docs]' -e 'experiments[notebooks,kaggle,programs]' && touch $@ $(READY) $(READY_LAB)

$(READY_RELEASE): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[release]' && touch $@

predict: $(READY) ## digitise the pages in IN into OUT (FORMAT=csv,dicom FS= SPEED= GAIN= READOUT= WORKERS=)
	$(ECG) predict $(IN) -o $(OUT) --overlay $(PREDICT) $(AS_WORKERS)

test: $(READY_TRAIN) ## the tests, without those of minutes
	$(PYTEST) -m "not slow"

test-fast: $(READY_TRAIN) ## some tests of every room, in at most 90 s
	$(PYTEST) -m "not slow and not heavy"

heavy-tests: $(READY_TRAIN) ## write the list of tests that test-fast leaves out again, on a free machine
	$(PYTEST) -m "not slow" --write-heavy

test-all: $(READY_TRAIN) ## all tests
	$(PYTEST)

test-lowest: $(READY_RELEASE) ## the fast tests with the lowest versions of all dependencies
	$(VENV)/bin/python scripts/test_versions.py --resolution lowest-direct

lint: $(READY_TRAIN) ## ruff and mypy
	$(VENV)/bin/ruff check . && $(VENV)/bin/mypy

docs: $(READY_TRAIN) ## the site of the docs into output/site, strictly
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet

release: $(READY_RELEASE) sbom ## wheel and sdist into dist/, used as a stranger would; files of containers checked
	$(VENV)/bin/python scripts/check_release.py && $(VENV)/bin/python scripts/check_container.py

sbom: $(READY_RELEASE) ## the packages of an installation with all extras but train, as CycloneDX, into dist/
	rm -rf output/sbom && mkdir -p dist && $(PYTHON) -m venv output/sbom
	output/sbom/bin/python -m pip install -q --no-compile -c constraints.txt '.[all]'
	$(VENV)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --of JSON -o dist/sbom.cdx.json output/sbom/bin/python

render: $(READY) ## pages with known signals into PAGES (N= PROFILE= SEED= RECORDS=)
	$(ECG) render -o $(PAGES) $(SHARED)

prepare-data: $(READY) ## pages for nnU-Net into data/nnUNet_raw (N= SOURCE= RECORDS= FOLDER= PROFILE= GENERATED= CANVAS= PLANES= SPLIT= DATASET= SEED= WORKERS=)
	$(ECG) prepare-data --dataset $(DATASET) $(SHARED) $(PREPARE) $(AS_WORKERS)

train: $(READY_TRAIN) ## train the leads network (CONFIG= FOLD= DATASET= EPOCHS= MINUTES= DEVICE= FRESH=1 WORKERS=)
	$(ECG) train --dataset $(DATASET) --config $(CONFIG) --fold $(FOLD) $(TRAIN) $(AS_WORKERS)

train-traces: $(READY_TRAIN) ## train the trace network (RECORDS= STEPS= MINUTES=)
	$(ECG) train-traces --steps $(STEPS) $(if $(RECORDS),--records $(RECORDS)) $(if $(MINUTES),--max-minutes $(MINUTES)) $(if $(FRESH),--fresh)

export: $(READY_TRAIN) ## weights of the run folder RUN into WEIGHTS, as the network NAME
	$(ECG) export $(RUN) -o $(WEIGHTS) --name $(NAME)

evaluate: $(READY) ## score the records in OUT against those in TRUTH
	$(ECG) evaluate $(OUT) $(TRUTH) -o $(SCORES) $(ALLOW) $(AS_WORKERS)

benchmark: $(READY_LAB) ## predict and score the folders in DATA (READOUT= WORKERS=)
	$(LAB) benchmark $(DATA) -o output/benchmark $(if $(READOUT),--readout $(READOUT)) $(AS_WORKERS)

ablations: $(READY_LAB) ## what each step is worth (N= pages a profile: 2, and 6 of the last folder in DATA)
	$(LAB) ablations $(DATA) $(if $(N),-n $(N),$(ABLATION_PAGES))

robustness: $(READY_LAB) ## accuracy against the severity of distortions (N= WORKERS=)
	$(LAB) robustness $(if $(N),-n $(N)) $(AS_WORKERS)

fidelity: $(READY_LAB) ## rate, intervals, amplitudes of the benchmark's records (METHOD=)
	for data in $(DATA); do $(LAB) fidelity $(if $(filter ours,$(METHOD)),output/benchmark/$$(basename $$data)/trace,output/compare/predictions/$(METHOD)/$$(basename $$data)) $$data --method $(METHOD) || exit 1; done

training-logs: ## keep the logs of the runs in runs/ for the training curves
	cp $(LEADS_RUN)/log.csv experiments/results/training_leads.csv
	cp $(WORDS_RUN)/log.csv experiments/results/training_words.csv
	cp $(TRACES_RUN)/log.csv experiments/results/training_traces.csv
	for peer in overlap-unet taylorsamarel-v2; do cp runs/$$peer/log.csv experiments/results/training_$$peer.csv || exit 1; done

notebooks: $(READY_LAB) ## run the notebooks of experiments/ on a small set, into output/notebooks
	$(LAB) notebooks -o output/notebooks

paper: $(READY_LAB) ## draw every figure of experiments/figures again from experiments/results
	$(LAB) paper

compare: $(READY_LAB) ## every method on the folders in DATA (METHODS=a,b N= WORKERS=)
	$(LAB) compare $(DATA) $(if $(METHODS),--methods $(METHODS)) $(if $(N),--pages $(N)) $(AS_WORKERS)

clean: ## remove output, caches and what builds made; data, runs and .venv stay
	rm -rf output build dist experiments/build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
