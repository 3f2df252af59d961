import { mount } from 'svelte';
import App from './App.svelte';
import { begin } from './lib/api';
import './app.css';

begin();
mount(App, { target: document.body });
