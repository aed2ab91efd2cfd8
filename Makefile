# Two commands do everything on a fresh machine: `make run` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode
# Some images export this; without compiled files every kernel compiles everything again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-long test-lowest test-highest coverage docs lab notebooks vega lint bench lock clean

# PROFILE=my.yaml or BIGMAMA_PROFILE=my.yaml: another profile than the sample. What is published of a run that was not
# wholly well is shown as well, and make ends with the run's exit status.
ifdef PROFILE
export BIGMAMA_PROFILE := $(PROFILE)
endif

run: $(VENV)/installed  ## install, then publish the sample and show its report
	@$(BIN)/python run_all.py run; status=$$?; $(BIN)/python run_all.py report --to out/report.html && \
		echo "The report to look at: out/report.html. To work with it: make lab"; exit $$status

test: $(VENV)/installed-dev  ## install what the tests need, then run them
	$(BIN)/pytest -n 2 --dist loadfile -m "not long"
	$(BIN)/pytest --nbval --nbval-current-env --nbval-cell-timeout 300 --nbval-sanitize-with tests/nbval.cfg notebooks

test-long: $(VENV)/installed-dev  ## more and other examples, longer races
	$(BIN)/pytest -n 2 --dist loadfile -m long --hypothesis-profile unlike

# Both in an environment of their own, which is made anew where pyproject.toml changes.
test-lowest: .venv-lowest-direct/installed  ## the tests with the lowest dependencies that pyproject.toml allows
	$(<D)/bin/pytest -n 2 --dist loadfile -m "not long and not service"

test-highest: .venv-highest/installed  ## the tests with the highest
	$(<D)/bin/pytest -n 2 --dist loadfile -m "not long and not service"

coverage: $(VENV)/installed-dev  ## which lines the tests do not reach
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile -m "not long"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(VENV)/installed-dev  ## build the pages of docs as a site, to be opened from out/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The pages: out/docs/index.html"

lab: $(VENV)/installed  ## open the project: notebooks, archive, parameters and docs
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

notebooks: $(VENV)/installed-dev  ## execute the notebooks on the sample and keep their outputs
	$(BIN)/jupyter nbconvert --log-level ERROR --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

VEGA := bigmama_nb/site/assets/vega.js

vega: $(VENV)/installed-dev  ## make the review site's chart library again from the pinned vl-convert-python
	$(BIN)/python -c 'import vl_convert; print(end=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))' > $(VEGA)

lint: $(VENV)/installed-dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev  ## measure against peers, in one run
	$(BIN)/python -m benchmarks

# Without the extra kerberos, which is built with headers that not every machine has.
lock: $(VENV)/uv  ## pin every version anew
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --all-extras --no-emit-package kerberos \
		--python-version 3.11 pyproject.toml -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --python-version 3.11 \
		-c requirements-dev.txt pyproject.toml -o requirements.txt

.venv-%/installed: $(VENV)/uv pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python --resolution $* --editable '.[hive,hdfs,s3,spark,diff,dev]' uv
	touch $@

clean:  ## remove what was made here
	rm -rf $(VENV) .venv-* out

$(VENV)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	touch $@

$(VENV)/installed: $(VENV)/uv requirements.txt
	$(UV) -r requirements.txt
	$(UV) --no-deps --editable .
	$(BIN)/python -m compileall -q bigmama_nb
	touch $@

# Where the headers are missing the tests of Kerberos are skipped, and say so.
$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(UV) -r requirements-dev.txt
	if command -v krb5-config >/dev/null; then $(UV) kerberos==1.3.1; fi
	touch $@
