# make run      makes a virtual environment and runs the quickstart: train, evaluate, save, load back
# make model    trains the shipped model in 13 stages: make model DATASET=fer2013.csv FERPLUS_CSV=fer2013new.csv
#               LAST=1 stops after the first; PRETRAINED=FILE has ImageNet weights; FLAGS="..." go to train.py
#               DEVICE=gpu trains on one GPU; REHEARSE=1 runs two steps of each stage on the CPU
# make test     runs the whole suite
# make space    serves the page and the API on this machine, with model/
# make quality  checks the style as CI does; make style mends it
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEVICE ?= cpu
CHAIN_gpu := _gpu
TRANSFORMERS_TESTS := $(VENV)/transformers-tests
EXTRAS_train := train
EXTRAS_space := space
EXTRAS_test := train,publish,photos,space,test
GB_train := 6.5
GB_space := 6.5
GB_test := 7.2

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

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)

# pip names each package and shows how far its download is
$(VENV)/.%: setup.py constraints.txt | $(BIN)/python
	@echo "Installing .[$(EXTRAS_$*)] into $(VENV), about $(GB_$*) GB with CUDA (less: docs/training.md, CPU only)"
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS_$*)]'
	@echo "Installed."
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
