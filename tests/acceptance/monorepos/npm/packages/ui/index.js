module.exports = `ui with is-number ${require('is-number/package.json').version}`;
