# Every task a person types. The environment is made on the way, in .venv, from pyproject.toml and constraints.txt.
PYTHON ?= python3
BIN = .venv/bin
PYTHONS = 3.11 3.12 3.13 3.14

.PHONY: help book test test-all coverage gpu digits dist rehearse test-oldest mutants notebooks stills lint bench study stacks constraints repository stale clean

help: ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="	" read -r task does; do printf '  make %-12s%s\n' "$$task" "$$does"; done

book: .venv/ready ## Build the book as HTML, with warnings as errors, and print where it is
	$(BIN)/jupyter-book build . --warningiserror --nitpick --keep-going --quiet
	@echo "The book: $(CURDIR)/_build/html/index.html"

TESTS = --numprocesses auto --dist loadscope --no-loadscope-reorder --nbval --nbval-current-env tests pairloss book/chapters

test: .venv/ready ## Run the quick tests, doctests and each chapter against its stored outputs (a minute and a half)
	$(BIN)/pytest -m "not slow" $(TESTS)

test-all: test ## Run these and then the slow tests, as CI does (seven minutes)
	$(BIN)/pytest -m slow --numprocesses auto --dist worksteal tests

coverage: .venv/ready ## Print the lines of the package that no quick test runs
	$(BIN)/python -m coverage run --source pairloss -m pytest -q -m "not slow" tests
	$(BIN)/python -m coverage report --show-missing --skip-covered

gpu: ## Run on a GPU what needs one, installing nothing: tests, chapters, speed_gpu.csv (nine minutes; OUT=folder; DEVICE=cpu rehearses)
	PYTHONPATH=. $(if $(wildcard .venv/ready),$(BIN)/python,$(PYTHON)) benchmarks/gpu.py --device $(or $(DEVICE),cuda) --out $(or $(OUT),_build/gpu)

# Threads, vector units, locales and time zones of other machines.
SETTINGS = "OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default LC_ALL=C TZ=Pacific/Kiritimati" \
  "OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 LC_ALL=C.UTF-8 TZ=America/St_Johns" \
  "OMP_NUM_THREADS=2 LC_ALL=tr_TR.UTF-8 TZ=Asia/Kathmandu"

digits: .venv/ready ## Re-run the chapters as other machines would: the stored digits must hold (one chapter: CHAPTER=lists)
	@for setting in $(SETTINGS); do echo "$$setting"; env $$setting $(BIN)/pytest -q -r fE --nbval --nbval-current-env \
	  book/chapters$(if $(CHAPTER),/$(CHAPTER).ipynb) || failed=1; done; exit $${failed:-0}

dist: .venv/ready ## Make what is published of the package: dist/*.tar.gz and dist/*.whl
	rm -rf dist
	$(BIN)/python -m hatchling build

rehearse: ## Test and build what is committed as a stranger would: another path, locale, time zone and home (20 minutes)
	folder="$$(mktemp -d)/Bücher und Verluste" && mkdir "$$folder" && git archive HEAD | tar -x -C "$$folder" && \
	  env -u MAKEFLAGS LC_ALL=C TZ=Pacific/Kiritimati HOME=/dev/null/home $(MAKE) -C "$$folder" test book

test-oldest: ## Run the tests and the chapters with the oldest versions that pyproject.toml allows (downloads 4 GB)
	$(PYTHON) -m venv .venv-oldest
	{ grep -o '"[A-Za-z_-]\+>=[0-9.]\+' pyproject.toml | sed 's/"//; s/>=/==/'; } | sort -u > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/oldest.txt --editable ".[book,test]"
	.venv-oldest/bin/python -m pip list
	.venv-oldest/bin/pytest $(TESTS)

mutants: .venv/ready ## Break the package on purpose and print what no test notices (a module: MODULE=lambdarank; a tenth: TENTH=7)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt mutmut==3.8.1
	OMP_NUM_THREADS=1 $(BIN)/python -m mutmut run "pairloss.$(or $(MODULE),*).*$(TENTH)"
	@for name in $$($(BIN)/python -m mutmut results | sed -n 's/: survived$$//p'); do $(BIN)/python -m mutmut show $$name; done

notebooks: export OMP_NUM_THREADS = 1
notebooks: .venv/ready ## Execute the chapters and store their outputs (one: make notebooks CHAPTER=standard_losses)
	$(BIN)/python book/execute.py $(CHAPTER)

stills: .venv/ready ## Draw what the figures to play with show where no script runs (needs Chromium)
	PYTHONPATH=. $(BIN)/python book/stills.py

lint: .venv/ready ## Check format, style, types and workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --no-progress --quiet .github

bench: .venv/ready ## Time the losses next to their published forms and the floor, training steps and lists (ten minutes)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/pairs.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/lists.py

study: export OMP_NUM_THREADS = 1
study: export OPENBLAS_NUM_THREADS = 1
study: export MALLOC_MMAP_THRESHOLD_ = 8589934592 # glibc keeps the memory of large tables for the next step
study: export MALLOC_TRIM_THRESHOLD_ = 8589934592
study: ## Tune losses and other recommenders, judge them on made worlds, on people and in two chapters (two days of one core; QUESTION=losses)
	$(PYTHON) -m venv .venv-study
	.venv-study/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[book,study]"
	cd benchmarks && ../.venv-study/bin/python -m study $(QUESTION) && ../.venv-study/bin/python -m study.report
	$(if $(QUESTION),,.venv-study/bin/python benchmarks/epochs.py)

stacks: ## Run the lines of the page "Use it in your stack" against the real libraries (downloads 1 GB)
	$(PYTHON) -m venv .venv-stacks
	.venv-stacks/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[stacks]"
	.venv-stacks/bin/pytest -rA tests/test_stacks.py
	$(PYTHON) -m venv .venv-recbole
	.venv-recbole/bin/python -m pip install --quiet $$(grep ^torch== constraints.txt) --editable ".[recbole]"
	.venv-recbole/bin/pytest -rA tests/test_stacks.py -k recbole

constraints: .venv/ready ## Write constraints.txt from what is installed
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' | \
	  $(BIN)/python -c 'import sys; sys.stdout.writelines(sorted(sys.stdin, key=str.lower))'; } > constraints.new
	mv constraints.new constraints.txt

repository: ## Print the address of the repository; change it everywhere with URL=https://github.com/you/pairloss
	@$(PYTHON) book/repository.py $(URL)

clean: ## Remove the environment and everything that was built
	rm -rf $$(sed 's|/$$||' .gitignore)
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# A folder that was moved or copied brings an environment that names the old place, and an install that broke off one
# in which anything may be missing: both are made anew.
WHERE = -e "$$(pwd -P)/.venv/bin/" -e "$$(cd .venv && pwd -P)/bin/"
STALE := $(shell [ ! -e .venv ] || { [ ! -e .venv/unfinished ] && grep -qsF $(WHERE) .venv/bin/pip; } || echo stale)

stale:
	@echo "The environment is not whole, or was made in another place: it is made anew."
	rm -rf .venv

.venv/ready: pyproject.toml constraints.txt $(STALE)
	@$(PYTHON) -c 'import sys; found = "%d.%d" % sys.version_info[:2]; \
	  sys.exit(0 if found in "$(PYTHONS)".split() else \
	  "Python " + found + " was found; expected one of $(PYTHONS). Name one: make PYTHON=python3.11")'
	@mkdir -p .venv && touch .venv/unfinished
	$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --log .venv/install.log \
	  --constraint constraints.txt --editable ".[book,test]" || { tail -n 40 .venv/install.log; exit 1; }
	@mv .venv/unfinished $@
