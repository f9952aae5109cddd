"""The presets, in order of precedence, as data.

Detectors, commands, outputs and `supersedes` are those of Vercel's packages/frameworks and, for what Vercel does not
have, of Netlify's packages/build-info; those stand before the build tools that they are made with.
"""

from scalemesh.frameworks import outputs
from scalemesh.frameworks.preset import Dep, Path, Preset, Static, paths
from scalemesh.frameworks.presets_server import BACKENDS, META, WEAK

_RUBY = "Ruby"

_STATIC_SITES = (
    Preset(slug="gatsby", name="Gatsby", every=(Dep("gatsby"),), build="gatsby build", output="public",
           immutable=("static/",)),
    *META["remix"],
    *META["react-router"],
    *META["astro"],
    Preset(slug="hexo", name="Hexo", every=(Dep("hexo"),), build="hexo generate", output="public"),
    Preset(slug="eleventy", name="Eleventy", every=(Dep("@11ty/eleventy"),), build="npx @11ty/eleventy",
           output=outputs.eleventy),
    Preset(slug="docusaurus-2", name="Docusaurus", every=(Dep("@docusaurus/core"),), build="docusaurus build",
           output="build", immutable=("assets/",)),
    Preset(slug="docusaurus", name="Docusaurus 1", every=(Dep("docusaurus"),),
           build="docusaurus-build", output="build"),
    Preset(slug="preact", name="Preact", every=(Dep("preact-cli"),), build="preact build", output="build"),
    *META["solidstart"],
    Preset(slug="dojo", name="Dojo", some=(Dep("@dojo/framework"), Path(".dojorc")), build="dojo build",
           output="output/dist"),
    Preset(slug="ember", name="Ember.js", some=(Dep("ember-source"), Dep("ember-cli")), build="ember build",
           output="dist"),
    Preset(slug="vue", name="Vue CLI", every=(Dep("@vue/cli-service"),), build="vue-cli-service build",
           output=outputs.setting("vue.config", "outputDir", "dist"), immutable=("js/", "css/")),
    Preset(slug="scully", name="Scully", every=(Dep("@scullyio/init"),), build="ng build && scully",
           output="dist/static"),
    Preset(slug="ionic-angular", name="Ionic Angular", every=(Dep("@ionic/angular"),), build="ng build", output="www"),
    *META["analog"],
    Preset(slug="angular", name="Angular", every=(Dep("@angular/cli"),), build="ng build", output=outputs.angular),
    Preset(slug="polymer", name="Polymer", every=(Dep("polymer-cli"),), build="polymer build", output="build/default"),
    Preset(slug="svelte", name="Svelte", every=(Dep("svelte"), Dep("sirv-cli")), build="rollup -c", output="public"),
    *META["sveltekit"],
    Preset(slug="ionic-react", name="Ionic React", every=(Dep("@ionic/react"),), build="react-scripts build",
           output="build", immutable=("static/",)),
    Preset(slug="create-react-app", name="Create React App", some=(Dep("react-scripts"), Dep("react-dev-utils")),
           build="react-scripts build", output="build", immutable=("static/",)),
    Preset(slug="gridsome", name="Gridsome", every=(Dep("gridsome"),), build="gridsome build", output="dist"),
    Preset(slug="umijs", name="UmiJS", some=(Dep("umi"), Dep("@umijs/max")), build="umi build", output="dist"),
    Preset(slug="sapper", name="Sapper", every=(Dep("sapper"),), build="sapper export", output="__sapper__/export"),
    Preset(slug="saber", name="Saber", every=(Dep("saber"),), build="saber build", output="public",
           immutable=("_saber/",)),
    Preset(slug="stencil", name="Stencil", every=(Dep("@stencil/core"),), build="stencil build", output="www",
           immutable=("build/p-",)),
    *META["nuxtjs"],
    *META["redwoodjs"],
    Preset(slug="hugo", name="Hugo", build="hugo --gc", output=outputs.hugo, toolchains=("hugo",),
           some=(Path("hugo.toml"), Path("hugo.yaml"), Path("hugo.yml"), Path("hugo.json"),
                 Path("config/_default/hugo.toml"), Path("config/_default/hugo.yaml"),
                 Path("config/_default/config.toml"), Path("config/_default/config.yaml"),
                 *(Path(f"config.{ext}", r"(?i)baseURL") for ext in ("yaml", "yml", "toml", "json")))),
    Preset(slug="jekyll", name="Jekyll", some=(Path("_config.yml"), Path("_config.toml")),
           build="jekyll build", output="_site", missing=_RUBY),
    Preset(slug="brunch", name="Brunch", some=(Dep("brunch"), Path("brunch-config.js")),
           build="brunch build --production", output="public"),
    Preset(slug="middleman", name="Middleman", every=(Path("config.rb"),), build="bundle exec middleman build",
           output="build", missing=_RUBY),
    Preset(slug="zola", name="Zola", every=(Path("config.toml", r"base_url"),), build="zola build", output="public",
           missing="Zola"),
)  # fmt: skip

# Made with Vite or another build tool, known to Netlify alone: before the tools.
_NETLIFY = (
    Preset(slug="observable", name="Observable Framework", every=(Dep("@observablehq/framework"),),
           build="observable build", output="dist", immutable=("_observablehq/", "_npm/", "_import/", "_file/"),
           supersedes=("vite",)),
    *META["qwik"],
    *META["vike"],
    *META["waku"],
    Preset(slug="quasar", name="Quasar", build="quasar build", output="dist/spa", supersedes=("vite",),
           some=(Dep("@quasar/app"), Dep("@quasar/app-vite"), Dep("@quasar/app-webpack"), Dep("quasar-cli"))),
    Preset(slug="expo", name="Expo", every=(Dep("expo"),), build="expo export -p web", output="dist",
           immutable=("_expo/static/",)),
    Preset(slug="react-static", name="React Static", every=(Dep("react-static"),), build="react-static build",
           output="dist"),
    Preset(slug="wmr", name="WMR", every=(Dep("wmr"),), build="wmr build", output="dist"),
)  # fmt: skip

_TOOLS = (
    *META["hydrogen"],
    Preset(slug="vite", name="Vite", every=(Dep("vite"),), build="vite build", output=outputs.vite,
           immutable=("assets/",), supersedes=("ionic-react",)),
    *META["tanstack-start"],
    Preset(slug="vitepress", name="VitePress", every=(Dep("vitepress"),), build="vitepress build docs",
           output=outputs.docs_tool("vitepress"), immutable=("assets/",)),
    Preset(slug="vuepress", name="VuePress", every=(Dep("vuepress"),), build="vuepress build src",
           output=outputs.docs_tool("vuepress"), immutable=("assets/",)),
    Preset(slug="parcel", name="Parcel", some=(Dep("parcel"), Dep("parcel-bundler")), build="parcel build",
           output="dist"),
)  # fmt: skip

_SPHINX_AT_TOP = Path("conf.py", r"\b(extensions|html_theme|project)\s*=")
_SPHINX_SOURCE = Path("docs/source/conf.py")

_AFTER_SERVERS = (
    Preset(slug="sanity-v3", name="Sanity", every=(Dep("sanity"),), some=paths("sanity.config", "js jsx ts tsx"),
           build="sanity build", output="dist", immutable=("static/",)),
    Preset(slug="sanity", name="Sanity 2", every=(Dep("@sanity/cli"), Path("sanity.json")), build="sanity build",
           output="dist"),
    Preset(slug="storybook", name="Storybook", every=(Dep("storybook"),), build="storybook build",
           output="storybook-static", immutable=("assets/",)),
    *META["nitro"],
    Preset(slug="mdbook", name="mdBook", every=(Path("book.toml", r"(?m)^\[book\]"),),
           build="mdbook build", output="book", missing="mdBook"),
    Preset(slug="mkdocs", name="MkDocs", some=(Path("mkdocs.yml"), Path("mkdocs.yaml")),
           build="mkdocs build", output=outputs.mkdocs, python="mkdocs"),
    Preset(slug="pelican", name="Pelican", every=(Path("pelicanconf.py"),), build="pelican content",
           output=outputs.pelican, python="pelican[markdown]"),
    Preset(slug="sphinx", name="Sphinx", build="sphinx-build -b html docs docs/_build/html", output="docs/_build/html",
           some=(_SPHINX_AT_TOP, Path("docs/conf.py"), _SPHINX_SOURCE), python="sphinx", weak=True,
           static=(Static((_SPHINX_AT_TOP,), "_build/html", build="sphinx-build -b html . _build/html"),
                   Static((_SPHINX_SOURCE,), "docs/_build/html",
                          build="sphinx-build -b html docs/source docs/_build/html"))),
    Preset(slug="metalsmith", name="Metalsmith", every=(Dep("metalsmith"),), build="metalsmith", output="build"),
    Preset(slug="docpad", name="DocPad", every=(Dep("docpad"),), build="docpad generate", output="out"),
    Preset(slug="harp", name="Harp", every=(Dep("harp"),), build="harp compile", output="www"),
    Preset(slug="wintersmith", name="Wintersmith", every=(Dep("wintersmith"),),
           build="wintersmith build", output="build"),
    Preset(slug="roots", name="Roots", every=(Dep("roots"),), build="roots compile", output="public"),
    Preset(slug="phenomic", name="Phenomic", every=(Dep("@phenomic/core"),), build="phenomic build", output="public"),
    Preset(slug="assemble", name="Assemble", every=(Dep("assemble"),), build="grunt build", output="dist"),
    Preset(slug="gulp", name="gulp.js", every=(Dep("gulp"),), build="gulp build", output="dist", weak=True),
    Preset(slug="grunt", name="Grunt", every=(Dep("grunt"),), build="grunt build", output="dist", weak=True),
)  # fmt: skip

PRESETS: tuple[Preset, ...] = (
    *META["nextjs"],
    *_STATIC_SITES,
    *_NETLIFY,
    *_TOOLS,
    *_AFTER_SERVERS,
    *BACKENDS,
    *WEAK,
)
BY_SLUG = {preset.slug: preset for preset in PRESETS}
