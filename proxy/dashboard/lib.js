// The one place that knows where the libraries are.
export {
  h, html, render, createContext,
  useCallback, useContext, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "./vendor/htm-preact.js";
