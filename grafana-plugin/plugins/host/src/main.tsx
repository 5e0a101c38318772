/** A page that is to the plugins what Grafana's dashboard page is: its scenes, packages and events, no server of Grafana. */

import { ThemeContext, createTheme } from '@grafana/data';
import { LocationServiceProvider, config, locationService } from '@grafana/runtime';
import { UrlSyncContextProvider } from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import React, { useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';
import { Router } from 'react-router-dom';

import { dashboardOf } from './dashboard';
import { shareModules } from './modules';
import { setServices } from './services';

const settings = new URLSearchParams(window.location.search);
const theme = createTheme({ colors: { mode: settings.get('theme') === 'light' ? 'light' : 'dark' } });
config.theme2 = theme;
Object.assign(config.bootData.user, { timezone: 'utc', orgRole: 'Admin' });

function Page({ scene }: { readonly scene: ReturnType<typeof dashboardOf> }) {
  const history = locationService.getHistory();
  const location = useSyncExternalStore(history.listen.bind(history), () => history.location);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Router location={location} navigator={history as never}>
        <LocationServiceProvider service={locationService}>
          <UrlSyncContextProvider scene={scene} updateUrlOnInit={false}>
            <scene.Component model={scene} />
          </UrlSyncContextProvider>
        </LocationServiceProvider>
      </Router>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

async function start(): Promise<void> {
  shareModules();
  document.body.style.background = theme.colors.background.canvas;
  const scene = dashboardOf(settings);
  await setServices(() => scene);
  Object.assign(window, { dashboard: { scene, locationService } });
  createRoot(document.getElementById('root')!).render(<Page scene={scene} />);
}

void start();
