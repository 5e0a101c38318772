import '../../../core/src/layout/worker.ts';
