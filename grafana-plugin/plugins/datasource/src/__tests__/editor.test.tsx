import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import type { DataSourcePluginOptionsEditorProps, QueryEditorProps } from '@grafana/data';

import type { TopologyDataSource } from '../datasource';
import { ConfigEditor } from '../editor/ConfigEditor';
import { QueryEditor } from '../editor/QueryEditor';
import type { TopologyOptions, TopologyQuery } from '../types';

type Props = QueryEditorProps<TopologyDataSource, TopologyQuery, TopologyOptions>;

function edit(query: TopologyQuery) {
  const changed = jest.fn();
  const run = jest.fn();
  render(<QueryEditor {...({ query, onChange: changed, onRunQuery: run } as unknown as Props)} />);
  return { changed, run };
}

describe('the query editor', () => {
  it('shows the fields that a graph has, and asks anew when one is left', () => {
    const { changed, run } = edit({ refId: 'A' });
    const field = screen.getByLabelText('Namespace');
    fireEvent.change(field, { target: { value: ' shop ' } });
    expect(run).not.toHaveBeenCalled();
    fireEvent.blur(field);
    expect(changed).toHaveBeenCalledWith(expect.objectContaining({ queryType: 'graph', namespace: 'shop' }));
    expect(run).toHaveBeenCalledTimes(1);
  });

  it('asks for nothing when nothing was changed', () => {
    const { run } = edit({ refId: 'A', namespace: 'shop' });
    fireEvent.blur(screen.getByLabelText('Namespace'));
    expect(run).not.toHaveBeenCalled();
  });

  it('offers hops and direction only around a focus', () => {
    edit({ refId: 'A', queryType: 'graph', focus: 'shop/cart' });
    expect(screen.getByText('Hops')).toBeInTheDocument();
    expect(screen.getByText('Direction')).toBeInTheDocument();
  });

  it('has other fields for other questions', () => {
    edit({ refId: 'A', queryType: 'edge' });
    expect(screen.getByLabelText('Edge')).toBeInTheDocument();
    expect(screen.queryByLabelText('Namespace')).not.toBeInTheDocument();
  });
});

describe('the settings', () => {
  it('take the server’s address', () => {
    const changed = jest.fn();
    const options = { url: '', access: 'proxy', jsonData: {}, secureJsonFields: {} };
    const props = { options, onOptionsChange: changed } as unknown as DataSourcePluginOptionsEditorProps<TopologyOptions>;
    render(<ConfigEditor {...props} />);
    fireEvent.change(screen.getByPlaceholderText('http://localhost:8428'), { target: { value: 'http://c:8428' } });
    expect(changed).toHaveBeenCalledWith(expect.objectContaining({ url: 'http://c:8428' }));
  });
});
