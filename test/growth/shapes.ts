type Shape = (bytes: number) => string;

function repeated(piece: string, start = ''): Shape {
  return (bytes) => start + piece.repeat(Math.ceil(bytes / piece.length));
}

function nested(opening: string, closing: string): Shape {
  return (bytes) => {
    const depth = Math.ceil(bytes / (opening.length + closing.length));
    return opening.repeat(depth) + closing.repeat(depth);
  };
}

/** Creates texts that may make regular expressions and loops slow. */
export const SHAPES: Readonly<Record<string, Shape>> = {
  percent: repeated('%'),
  'percent escapes': repeated('%41'),
  'escaped percent signs': repeated('%25'),
  'an escape in an escape': repeated('25', '%'),
  'equals signs': repeated('='),
  ampersands: repeated('&'),
  'names and values': repeated('a=b&'),
  digits: repeated('4'),
  'groups of digits': repeated('4111 '),
  'groups of digits with dashes': repeated('411-'),
  letters: repeated('a'),
  'a letter and spaces': repeated(' ', 'a'),
  slashes: repeated('/'),
  'short segments': repeated('/a'),
  semicolons: repeated(';'),
  colons: repeated(':'),
  'short words': repeated(',a'),
  dots: repeated('.'),
  dashes: repeated('-'),
  'hex digits with dashes': repeated('12345678-'),
  'opening braces': repeated('{'),
  'opening brackets': repeated('['),
  'nested arrays': nested('[', ']'),
  'nested objects': nested('{"a":', '}'),
  'unfinished objects': repeated('{"pin":'),
  'secret objects': nested('"card":{', '}'),
  quotes: repeated('"'),
  'a quote and backslashes': repeated('\\', '"'),
  'escaped quotes': repeated('\\"'),
  'unicode escapes': repeated('\\u0041'),
  tags: repeated('<pin '),
  'secret names': repeated('pin'),
  'secret names in camel case': repeated('aPin'),
  'secret names without values': repeated('token: '),
  'names of form fields': repeated('name="pin" '),
  schemes: repeated('bearer '),
  'beginnings of URLs': repeated('://'),
  spaces: repeated(' '),
  newlines: repeated('\n'),
  'plus signs': repeated('+'),
  mixed: repeated('%25=&4a/;-{" '),
};
