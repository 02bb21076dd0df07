import { describe, expect, it } from 'vitest';
import { TokenQuery } from '../../src/proxy/token-query.ts';

const query = new TokenQuery('access_token');
const sent = (clientQuery: string) => query.withParameter(clientQuery, query.parameter('t/1+='));

describe('the query of a route with token_query', () => {
  it.each([
    ['', ''],
    ['?', ''],
    ['?a=1', 'a=1&'],
    ['?a=1&', 'a=1&'],
    ['?a=%2f&b=x+y&c', 'a=%2f&b=x+y&c&'],
    ['?discount=10%', 'discount=10%&'],
    ['?a=1;b=2', 'a=1;b=2&'],
    ['?token=1&my_access_token=2', 'token=1&my_access_token=2&'],
    ['?a=access_token', 'a=access_token&'],
  ])('keeps %j as it is and ends with the token', (clientQuery, kept) => {
    expect(sent(clientQuery)).toBe(`?${kept}access_token=t%2F1%2B%3D`);
  });

  it.each([
    'access_token=mine',
    'access_token',
    'ACCESS_TOKEN=mine',
    '%61ccess_token=mine',
    '%2561ccess_token=mine',
    'access%5ftoken=mine',
    'access_token[]=mine',
    'access_token%5B0%5D=mine',
    'access.token=mine',
    'access+token=mine',
    '+access_token=mine',
    '%20access_token=mine',
  ])('replaces the parameter of the client: %s', (own) => {
    expect(sent(`?${own}`)).toBe(sent(''));
    expect(sent(`?a=1&${own}&b=2`)).toBe(sent('?a=1&b=2'));
    expect(sent(`?a=1;${own}`)).toBe(sent('?a=1'));
    expect(sent(`?${own};b=2&${own}`)).toBe(sent('?b=2'));
  });
});
