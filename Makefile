# make run      a virtual environment, then the quickstart: train, evaluate, save, load back
# make model    trains the shipped model in eight stages: make model DATASET=fer2013.csv FERPLUS_CSV=fer2013new.csv
#               LAST=1 stops after the first; PRETRAINED=FILE has ImageNet weights; FLAGS="..." go to train.py
#               DEVICE=gpu takes the chain for one GPU; REHEARSE=1 runs two steps of each stage on the CPU
# make test     the whole suite
# make space    the page and the API on this machine, with model/
# make quality  what CI checks of the style; make style mends it
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMMA := ,
DEVICE ?= cpu
CHAIN_gpu := _gpu
TRANSFORMERS_TESTS := $(VENV)/transformers-tests

.PHONY: run model dataset_given test space screenshots quality style clean

run: $(VENV)/.train
	@echo "Training on drawn faces: about three minutes on two CPU cores"
	$(BIN)/python train.py configs/quickstart.yaml --overwrite

model: dataset_given $(VENV)/.train
	$(BIN)/python train_chain.py configs/model$(CHAIN_$(DEVICE)) $(if $(LAST),--last $(LAST)) \
		$(if $(REHEARSE),--rehearse) $(if $(PRETRAINED),--pretrained '$(PRETRAINED)') \
		$(if $(DATASET),--dataset '$(DATASET)') $(if $(FERPLUS_CSV),--ferplus_csv '$(FERPLUS_CSV)') $(FLAGS)

dataset_given:
	$(if $(filter cpu gpu,$(DEVICE)),,$(error DEVICE is cpu or gpu, but it is $(DEVICE)))
	$(if $(DATASET)$(REHEARSE),,$(error Give the data: make model DATASET=PATH, with FERPLUS_CSV=fer2013new.csv \
		for the votes of Kaggle's CSV))

test: $(VENV)/.test $(TRANSFORMERS_TESTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

space: $(VENV)/.space
	$(BIN)/python space/app.py

screenshots: $(VENV)/.test
	SCREENSHOTS=docs $(BIN)/python -m pytest tests/space/test_space_page.py

quality: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

style: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs build *.egg-info

# pip names each package and shows how far its download is; the extras, and GB with CUDA
define install
	@echo "Installing .[$(1)] into $(VENV), about $(2) GB with CUDA (less: docs/training.md, CPU only)"
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[$(1)]'
	@echo "Installed."
endef

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: setup.py constraints.txt | $(BIN)/python
	$(call install,train,6.5)
	touch $@

$(VENV)/.space: setup.py constraints.txt | $(BIN)/python
	$(call install,space,6.5)
	touch $@

$(VENV)/.test: setup.py constraints.txt | $(BIN)/python
	$(call install,train$(COMMA)publish$(COMMA)photos$(COMMA)space$(COMMA)test,7.2)
	touch $@

# transformers' own model tests are in its source distribution, not in its wheel
$(TRANSFORMERS_TESTS): $(VENV)/.test
	rm -rf $@ $@.partial && mkdir $@.partial
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --no-binary transformers -d $@.partial \
		transformers==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("transformers"))')
	$(BIN)/python -m tarfile -e $@.partial/transformers-*.tar.gz $@.partial
	rm -rf $@ && mkdir -p $@/tests
	mv $@.partial/transformers-*/tests/test_*.py $@/tests
	rm -rf $@.partial && touch $@
