/**
 * The time slider: what came and went over time, and which stretch of it is shown. Moving it moves the dashboard.
 */

import { css } from '@emotion/css';
import React, { useEffect, useRef, useState } from 'react';
import type { KeyboardEvent, PointerEvent } from 'react';

import { dateTimeFormat } from '@grafana/data';
import type { GrafanaTheme2 } from '@grafana/data';
import { IconButton, useStyles2 } from '@grafana/ui';

import type { Mark, Timeline } from '../frames';
import { atNextChange, bucketAt, extentOf, moved, shareOf } from '../slider';
import type { Interval } from '../slider';

interface Props {
  readonly timeline: Timeline;
  readonly marks: readonly Mark[];
  readonly range: Interval;
  readonly timeZone: string;
  /** The instant that another panel's pointer is at. */
  readonly hovered: number | null;
  readonly onMove: (range: Interval) => void;
  readonly onHover: (instant: number | null) => void;
}

const PLAY_MS = 1200;

export function TimeSlider({ timeline, marks, range, timeZone, hovered, onMove, onHover }: Props) {
  const styles = useStyles2(getStyles);
  const extent = extentOf(timeline);
  const [playing, setPlaying] = usePlaying(timeline, range, onMove);
  const step = (direction: 1 | -1) => atNextChange(range, timeline, direction);
  const [before, after] = [step(-1), step(1)];
  return (
    <div className={styles.row} role="group" aria-label="Time slider">
      <IconButton
        name="backward"
        tooltip="Previous change"
        disabled={!before}
        onClick={() => before && onMove(before)}
      />
      <IconButton
        name={playing ? 'pause' : 'play'}
        tooltip={playing ? 'Pause' : 'Play: move on until the end'}
        onClick={() => setPlaying(!playing)}
      />
      <IconButton
        name="forward"
        tooltip="Next change"
        aria-label="Next change"
        disabled={!after}
        onClick={() => after && onMove(after)}
      />
      <Track {...{ timeline, marks, range, timeZone, hovered, extent, onMove, onHover }} />
    </div>
  );
}

/** Moves on by the window's length again and again, until the end of the timeline. */
function usePlaying(timeline: Timeline, range: Interval, onMove: Props['onMove']) {
  const [playing, setPlaying] = useState(false);
  const latest = useRef({ timeline, range, onMove });
  useEffect(() => {
    latest.current = { timeline, range, onMove };
  });
  useEffect(() => {
    if (!playing) {
      return;
    }
    const timer = setInterval(() => {
      const { timeline, range, onMove } = latest.current;
      const next = moved(range, Math.max(timeline.stepMs, (range.to - range.from) / 2), extentOf(timeline));
      if (next.to === range.to) {
        setPlaying(false);
      } else {
        onMove(next);
      }
    }, PLAY_MS);
    return () => clearInterval(timer);
  }, [playing]);
  return [playing, setPlaying] as const;
}

function Track({ timeline, marks, range, timeZone, hovered, extent, onMove, onHover }: Props & { readonly extent: Interval }) {
  const styles = useStyles2(getStyles);
  const track = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<{ start: number; range: Interval } | null>(null);
  const shown = drag?.range ?? range;
  const format = (instant: number) => dateTimeFormat(instant, { timeZone });

  const instantAt = (event: PointerEvent) => {
    const { left, width } = track.current!.getBoundingClientRect();
    return extent.from + ((event.clientX - left) / width) * (extent.to - extent.from);
  };
  const onPointerDown = (event: PointerEvent) => {
    track.current?.setPointerCapture(event.pointerId);
    const at = instantAt(event);
    const inside = at >= range.from && at <= range.to;
    const start = inside ? range : moved(range, at - (range.from + range.to) / 2, extent);
    setDrag({ start: at - (start.to - range.to), range: start });
  };
  const onPointerMove = (event: PointerEvent) => {
    const at = instantAt(event);
    onHover(at);
    if (drag) {
      setDrag({ ...drag, range: moved(range, at - drag.start, extent) });
    }
  };
  const onPointerUp = () => {
    if (drag && drag.range.to !== range.to) {
      onMove(drag.range);
    }
    setDrag(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (steps) {
      event.preventDefault();
      onMove(moved(range, steps * Math.max(timeline.stepMs, (range.to - range.from) / 10), extent));
    }
  };

  return (
    <div
      ref={track}
      className={styles.track}
      role="slider"
      tabIndex={0}
      aria-label="Time shown"
      aria-valuemin={extent.from}
      aria-valuemax={extent.to}
      aria-valuenow={shown.to}
      aria-valuetext={`${format(shown.from)} to ${format(shown.to)}`}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={() => setDrag(null)}
      onPointerLeave={() => onHover(null)}
      onKeyDown={onKeyDown}
    >
      <Bars timeline={timeline} />
      <Marks marks={marks} extent={extent} />
      <div className={styles.window} style={placed(shown, extent)} data-testid="slider-window" />
      {hovered !== null && hovered >= extent.from && hovered <= extent.to && (
        <div className={styles.hover} style={{ left: `${shareOf(hovered, extent) * 100}%` }} data-testid="slider-hover">
          <span>{hoverText(timeline, hovered, format)}</span>
        </div>
      )}
      <div className={styles.ends} aria-hidden>
        <span>{format(extent.from)}</span>
        <span>{format(extent.to)}</span>
      </div>
    </div>
  );
}

function hoverText(timeline: Timeline, instant: number, format: (instant: number) => string): string {
  const at = bucketAt(timeline, instant);
  return at < 0 ? format(instant) : `${format(timeline.time[at])} · ${timeline.edges[at]} edges`;
}

/** Events as small diamonds that say what happened. */
function Marks({ marks, extent }: { readonly marks: readonly Mark[]; readonly extent: Interval }) {
  const styles = useStyles2(getStyles);
  return marks
    .filter(({ time }) => time >= extent.from && time <= extent.to)
    .map(({ time, title }, at) => (
      <i key={at} className={styles.event} style={{ left: `${shareOf(time, extent) * 100}%` }} title={title} data-testid="slider-event" />
    ));
}

/** How many edges there were as bars; changes as marks above them. */
function Bars({ timeline }: { readonly timeline: Timeline }) {
  const styles = useStyles2(getStyles);
  const most = Math.max(1, ...timeline.edges);
  const mostChanges = Math.max(1, ...timeline.changes);
  const many = timeline.time.length;
  return (
    <svg className={styles.bars} viewBox={`0 0 ${many} 100`} preserveAspectRatio="none" aria-hidden>
      {timeline.edges.map((count, at) => (
        <rect key={at} x={at + 0.08} width={0.84} y={100 - (62 * count) / most} height={(62 * count) / most} />
      ))}
      {timeline.changes.map((count, at) =>
        count > 0 ? (
          <rect
            key={`c${at}`}
            className={styles.mark}
            x={at + 0.08}
            width={0.84}
            y={2}
            height={8 + (20 * count) / mostChanges}
          />
        ) : null
      )}
    </svg>
  );
}

function placed(range: Interval, extent: Interval) {
  const [left, right] = [shareOf(range.from, extent), shareOf(range.to, extent)];
  return { left: `${left * 100}%`, width: `max(6px, ${(right - left) * 100}%)` };
}

function getStyles(theme: GrafanaTheme2) {
  return {
    row: css({ display: 'flex', alignItems: 'center', gap: theme.spacing(0.5), height: 52 }),
    track: css({
      position: 'relative',
      flex: 1,
      height: 48,
      marginLeft: theme.spacing(1),
      cursor: 'grab',
      touchAction: 'none',
      borderRadius: theme.shape.radius.default,
      background: theme.colors.background.secondary,
      '&:focus-visible': { outline: `2px solid ${theme.colors.primary.main}` },
    }),
    bars: css({
      position: 'absolute',
      inset: '2px 0 14px',
      width: '100%',
      height: 'calc(100% - 16px)',
      fill: theme.colors.text.disabled,
    }),
    mark: css({ fill: theme.colors.warning.main }),
    event: css({
      position: 'absolute',
      top: 12,
      width: 9,
      height: 9,
      transform: 'translateX(-50%) rotate(45deg)',
      background: theme.colors.info.text,
      border: `1px solid ${theme.colors.background.primary}`,
      zIndex: 1,
    }),
    window: css({
      position: 'absolute',
      top: 0,
      bottom: 0,
      border: `1px solid ${theme.colors.primary.border}`,
      borderRadius: theme.shape.radius.default,
      background: theme.colors.primary.transparent,
      pointerEvents: 'none',
    }),
    hover: css({
      position: 'absolute',
      top: 0,
      bottom: 0,
      width: 1,
      background: theme.colors.text.primary,
      pointerEvents: 'none',
      '& span': {
        position: 'absolute',
        bottom: '100%',
        left: 0,
        transform: 'translateX(-50%)',
        whiteSpace: 'nowrap',
        padding: theme.spacing(0, 0.5),
        fontSize: theme.typography.bodySmall.fontSize,
        background: theme.colors.background.elevated,
        borderRadius: theme.shape.radius.default,
      },
    }),
    ends: css({
      position: 'absolute',
      inset: 'auto 4px 0',
      display: 'flex',
      justifyContent: 'space-between',
      fontSize: 10,
      lineHeight: '14px',
      color: theme.colors.text.secondary,
      pointerEvents: 'none',
    }),
  };
}
